"""The providers: who can be asked, and how each wants to be asked."""
