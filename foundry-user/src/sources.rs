//! Where events come from. Sources never name one another, the store or a sink.
