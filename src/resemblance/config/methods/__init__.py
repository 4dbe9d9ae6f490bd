"""One small configuration a method; torch-free, so that the command line can list them at once."""
