"""The views of the admin and billing APIs: structs, and pure functions that fill them."""
