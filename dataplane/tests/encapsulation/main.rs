//! Every form of a frame that leaves: compared byte by byte with one that is put together naively, and read by an
//! independent parser.

mod fragments;
mod frames;
mod gue_checksum;
mod naive;
mod packet;
mod too_big;
