//! Remote models.
