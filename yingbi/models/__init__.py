"""Released models: what they are worth, their scorecards, their cards, their portable forms, and scoring with them."""
