"""The transformer that proxies and final models share, its sizes, and its Hugging Face form.

Importing this package imports no torch: its modules do, when they are used.
"""
