"""What stands beside the reasons of an explanation: the black box's answer, and the nearest prototypes."""
