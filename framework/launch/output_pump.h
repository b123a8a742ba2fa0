#pragma once

#include <poll.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// Copies the output of other processes to this process's stdout and stderr, line by line, each
/// line prefixed with the name of the process that wrote it.
///
/// No call blocks. If the reader of stdout or stderr stops reading, up to 1 MiB of lines is kept
/// here; after that the writing processes are held up, as they would be if they wrote to the reader
/// directly. The supervising thread goes on. Not thread-safe: one thread makes all calls, in a
/// loop:
///
///     std::vector<pollfd> waits;
///     pump.add_waits(waits);
///     ::poll(waits.data(), waits.size(), milliseconds);
///     pump.work();
class OutputPump {
 public:
  /// The streams of this process: stdout and stderr.
  enum Stream { out, error };

  /// Adds the reading end of a pipe, whose lines are copied to `stream` with `prefix` before each.
  /// A last line without a newline is given one.
  void add(Descriptor source, Stream stream, std::string prefix);
  /// Appends a line of this process itself, without prefix. `work` writes it.
  void say(Stream stream, std::string_view line);

  /// Appends the descriptors for `poll` to wait for until `work` has something to do.
  void add_waits(std::vector<pollfd>& waits) const;
  /// Reads whatever the sources have ready, and writes as much as the targets accept.
  void work();
  /// Reads the rest of every source and closes it. Call it after the writing processes have ended.
  /// The lines read may still have to be written: see has_waiting.
  void close_sources();
  /// Returns whether some lines haven't been written yet.
  bool has_waiting() const;

 private:
  /// A stream of another process.
  struct Source {
    Descriptor pipe;
    Stream stream;
    std::string prefix;
    std::string line;  // the beginning of a line whose newline hasn't come yet
  };
  /// This process's stdout or stderr, and the lines that it hasn't accepted yet.
  struct Target {
    int descriptor;
    std::string waiting{};
    bool is_gone = false;  // the reader has closed its end
  };

  /// Reads once from the source, and closes it at its end.
  void read(Source& source);
  /// Splits text that was read into lines.
  void take(Source& source, std::string_view text);
  /// Passes the source's current line on to its target.
  void end_line(Source& source);
  /// Writes as much as the target accepts without blocking, whole lines if possible.
  static void write(Target& target);

  std::vector<Source> sources_;
  std::array<Target, 2> targets_ = {Target{.descriptor = 1}, Target{.descriptor = 2}};
};

}  // namespace levin
