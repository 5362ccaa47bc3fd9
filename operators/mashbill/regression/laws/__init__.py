"""Laws from mixtures to losses: regressors behind one small interface, by name."""
