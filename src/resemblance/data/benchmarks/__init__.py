"""Published data sets in the layout of their archives, with their official splits and the papers' preparation."""
