"""The protocol of MeLU: rating prediction for existing and new users on existing and new items."""
