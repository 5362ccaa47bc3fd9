"""What tests build their cases from: places in the checkout, small corpora, laws with a known answer.

Importable as ``builders`` through pytest's ``pythonpath`` setting: a test and the processes that it starts
need the same functions, which a fixture cannot give them.
"""
