//! Header views over borrowed bytes.
