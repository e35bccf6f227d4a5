"""What a person sees in a notebook; the only package that imports IPython and ipywidgets."""
