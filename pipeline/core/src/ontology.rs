//! ontology
