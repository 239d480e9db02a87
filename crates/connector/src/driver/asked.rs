//! The loop's part in a copy that was asked for while the stream goes on: it begins where the loop is, and
//! where it cannot be gone on with the loop goes on without it.

use super::{Driver, NOTES_IN_FLIGHT_MAX};
use crate::copy::CopyError;
use crate::end::End;

impl Driver {
    /// Takes in what is asked for while the stream goes on; the first copy goes before it.
    pub(super) fn take_asked(&mut self) -> Result<(), End> {
        let (relay, producer) = (&mut self.relay, &self.producer);
        if self.ending.is_some() {
            let written = self.incremental.write_notes(&self.progress, producer);
            return written.map_err(|error| self.progress_refused(error));
        }
        let is_copying = self.copy.is_some();
        let turn = self
            .incremental
            .turn(relay, &self.progress, producer, is_copying);
        turn.map_err(|error| self.progress_refused(error))?;
        match &mut self.copy {
            None => {
                self.copy = self.incremental.begin_copy(&mut self.relay);
                if self.copy.is_some() {
                    self.is_streaming_told = false;
                    self.observer.copying();
                }
                Ok(())
            }
            Some(copy) if copy.is_asked() && self.incremental.is_copy_ended() => {
                copy.give_up();
                self.give_up_copy()
            }
            Some(_) => Ok(()),
        }
    }

    /// The stream goes on as soon as what was made of the copy has left.
    fn give_up_copy(&mut self) -> Result<(), End> {
        let now = self.clock.now();
        if self.relay.give_up_copy(now)? && !self.is_streaming_told {
            self.is_streaming_told = true;
            self.observer.copy_given_up();
        }
        Ok(())
    }

    /// A copy that was asked for ends with its error; the first one ends the connection with it.
    pub(super) fn without_copy(&mut self, error: CopyError) -> Result<(), End> {
        match &mut self.copy {
            Some(copy) if copy.is_asked() => {
                self.incremental.copy_failed(&error);
                copy.give_up();
                Ok(())
            }
            _ => Err(End::Copy(error)),
        }
    }

    /// Notes what Kafka has of the copy, and takes the notes back once it is stored as finished.
    pub(super) fn note_copied(&mut self) -> Result<(), End> {
        let Some(copy) = &mut self.copy else {
            return Ok(());
        };
        let is_asked = copy.is_asked();
        let mut written = Ok(());
        while let Some(piece) = self.relay.copied_piece() {
            let (producer, of) = (&self.producer, self.incremental.copied_for());
            if let Some((table, part)) = copy.settled(piece) {
                written = written.and(match is_asked {
                    true => self.progress.note_asked(producer, of, &table, part),
                    false => self.progress.note(producer, &table, part),
                });
            }
        }
        while let Some(news) = copy.news() {
            self.incremental.hear(news);
        }
        if self.relay.is_copy_durable() {
            if is_asked && let Some(noted) = copy.take_notes() {
                copy.leave(self.incremental.keep(noted).unwrap_or_default());
            }
            // Not all at once: they share the queue with the records. The next start forgets the rest.
            while self.producer.in_flight() < NOTES_IN_FLIGHT_MAX {
                let Some(table) = copy.notes().take_table() else {
                    self.copy = None;
                    self.incremental.copy_is_gone();
                    break;
                };
                written = written.and(match is_asked {
                    true => self.progress.forget_asked(&self.producer, &table),
                    false => self.progress.forget(&self.producer, &table),
                });
            }
        }
        written.map_err(|error| self.progress_refused(error))
    }
}
