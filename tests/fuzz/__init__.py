"""Files of every format, damaged at random, and what must hold of what is read of them: ``make fuzz``."""
