#pragma once

#include <poll.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// Carries what other processes write to this one's stdout and stderr, line by line, each with its
/// process's prefix. Never waits, so that a reader who has stopped reading holds up the writers (as
/// it would without this), not whoever watches over them.
class OutputPump {
 public:
  enum Stream { out, error };

  /// A pipe whose lines go to `stream`; a last line without an end gets one.
  void add(Descriptor source, Stream stream, std::string prefix);
  /// A line of this process's own.
  void say(Stream stream, std::string_view line);

  /// What to wait for until there is something to do.
  void add_waits(std::vector<pollfd>& waits) const;
  /// Reads what is there, writes what is taken.
  void work();
  /// Reads what is left of the sources, whose writers have ended, and closes them.
  void close_sources();
  /// Whether there are lines that couldn't be written yet.
  bool has_waiting() const;

 private:
  struct Source {
    Descriptor pipe;
    Stream stream;
    std::string prefix;
    std::string line;  // begun, not ended
  };
  struct Target {
    int descriptor;
    std::string waiting{};
    bool is_gone = false;
  };

  void read(Source& source);
  void take(Source& source, std::string_view text);
  void end_line(Source& source);
  static void write(Target& target);

  std::vector<Source> sources_;
  std::array<Target, 2> targets_ = {Target{.descriptor = 1}, Target{.descriptor = 2}};
};

}  // namespace levin
