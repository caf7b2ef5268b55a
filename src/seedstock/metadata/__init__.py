"""What a commit says about itself: card, tags and weight headers. Pure: bytes come through RangeReader."""
