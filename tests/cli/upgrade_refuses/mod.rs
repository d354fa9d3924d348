//! What cannot be done is refused in three parts (the fact, the state of the data, the next command), with the exit
//! code of the table, and the database is as it was.

mod database;
mod disk;
mod files;
mod locks;
mod server;
mod tools;
