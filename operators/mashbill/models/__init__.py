"""The transformer that proxies and final models share, its sizes, and its Hugging Face form."""
