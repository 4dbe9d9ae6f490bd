"""The pictures of an explanation: parts in frames of one scale, and warnings about pictures that show nothing."""
