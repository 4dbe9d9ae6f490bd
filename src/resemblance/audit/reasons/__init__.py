"""Checks of the reasons that a model shows: can they be exchanged, or stay while the class changes?"""
