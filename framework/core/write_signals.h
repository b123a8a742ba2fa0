#pragma once

namespace levin {

/// While an object of this class exists, a write that fails returns an error and doesn't end the
/// process: SIGPIPE (nobody reads the pipe) and SIGXFSZ (the file would be larger than `ulimit -f`
/// allows) do nothing, and the write returns EPIPE or EFBIG.
///
///     const NoWriteSignals signals;  // until the end of the scope
///
/// A signal for which the program has set an action of its own keeps that action. Objects may be
/// nested and belong to different threads; the last one puts the actions back. Processes that are
/// started meanwhile begin with the system's default actions.
class NoWriteSignals {
 public:
  NoWriteSignals() noexcept;
  ~NoWriteSignals();
  NoWriteSignals(const NoWriteSignals&) = delete;
  NoWriteSignals& operator=(const NoWriteSignals&) = delete;
};

/// Makes sure that the descriptors 0, 1 and 2 are in use. If the program was started with one of
/// them closed (`2>&-`), the first file or socket that is opened would otherwise become its stdout
/// or stderr, and messages would be written into it. Writing to a descriptor that was closed still
/// fails (EBADF), and so does reading from it.
void occupy_standard_descriptors() noexcept;

}  // namespace levin
