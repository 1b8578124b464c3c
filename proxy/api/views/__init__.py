"""How things are shown in the admin and billing APIs: structs, and pure functions that fill them."""
