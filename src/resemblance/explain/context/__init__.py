"""What stands beside the reasons of an explanation: the answer of the black box."""
