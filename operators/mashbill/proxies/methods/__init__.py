"""Other ways to a mixture, read from their authors' code and run on the sweep's own proxies."""
