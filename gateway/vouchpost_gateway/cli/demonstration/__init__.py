"""What `vouchpost demo` is made of, in the order of its story: addresses, stage, caller, crashes, journals, screen."""
