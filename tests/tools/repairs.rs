//! What a repair leaves behind.
