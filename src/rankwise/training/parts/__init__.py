"""Parts of training that a recipe can add to the loop."""
