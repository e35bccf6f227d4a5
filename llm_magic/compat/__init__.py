"""The completion APIs of other libraries, on our client: change the import, keep the code.

Each module keeps what the other library's documents promise. Calls are recorded, replayed and
metered as all others are.
"""
