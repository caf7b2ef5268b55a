"""The guided tour: the main job of the product, end to end, on a real model, by unmodified clients."""
