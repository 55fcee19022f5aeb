"""What "verified" means: checks turn an address into findings, the verifier folds findings into a verdict."""
