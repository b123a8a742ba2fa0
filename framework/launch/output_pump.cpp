#include <levin/framework/launch/output_pump.h>

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace levin {
namespace {

/// While more bytes than this wait to be written, nothing more is read, so that the writers wait.
constexpr size_t kMostWaiting = size_t{1} << 20;
/// A longer line, such as a progress bar that never ends its line, is passed on in parts.
constexpr size_t kLongestLine = size_t{16} << 20;

bool is_writable(int descriptor) {
  pollfd wait{descriptor, POLLOUT, 0};
  return ::poll(&wait, 1, 0) > 0;
}

}  // namespace

void OutputPump::add(Descriptor source, Stream stream, std::string prefix) {
  ::fcntl(source.get(), F_SETFL, ::fcntl(source.get(), F_GETFL) | O_NONBLOCK);
  sources_.push_back({std::move(source), stream, std::move(prefix), {}});
}

void OutputPump::say(Stream stream, std::string_view line) {
  Target& target = targets_[stream];
  if (target.is_gone) return;
  target.waiting += line;
  target.waiting += '\n';
}

void OutputPump::add_waits(std::vector<pollfd>& waits) const {
  for (const Source& source : sources_) {
    const bool is_held_up = targets_[source.stream].waiting.size() > kMostWaiting;
    if (source.pipe.is_open() && !is_held_up) waits.push_back({source.pipe.get(), POLLIN, 0});
  }
  for (const Target& target : targets_) {
    if (!target.waiting.empty()) waits.push_back({target.descriptor, POLLOUT, 0});
  }
}

void OutputPump::work() {
  for (Source& source : sources_) {
    if (targets_[source.stream].waiting.size() <= kMostWaiting) read(source);
  }
  for (Target& target : targets_) write(target);
}

void OutputPump::close_sources() {
  for (Source& source : sources_) {
    while (source.pipe.is_open()) {
      const size_t before = targets_[source.stream].waiting.size() + source.line.size();
      read(source);
      if (targets_[source.stream].waiting.size() + source.line.size() == before) break;
    }
    if (!source.line.empty()) end_line(source);
  }
  sources_.clear();
}

bool OutputPump::has_waiting() const {
  return std::any_of(targets_.begin(), targets_.end(),
                     [](const Target& target) { return !target.waiting.empty(); });
}

void OutputPump::read(Source& source) {
  if (!source.pipe.is_open()) return;
  std::array<char, 65536> buffer;
  const ssize_t got = ::read(source.pipe.get(), buffer.data(), buffer.size());
  if (got > 0) {
    take(source, {buffer.data(), static_cast<size_t>(got)});
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    source.pipe.close();
  }
}

void OutputPump::take(Source& source, std::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    source.line += text.substr(0, end);
    if (end == std::string_view::npos) break;
    end_line(source);
    text.remove_prefix(end + 1);
  }
  if (source.line.size() > kLongestLine) end_line(source);
}

void OutputPump::end_line(Source& source) {
  say(source.stream, source.prefix + source.line);
  source.line.clear();
}

void OutputPump::write(Target& target) {
  size_t done = 0;
  std::string_view rest = target.waiting;
  while (!rest.empty() && is_writable(target.descriptor)) {
    // A writable pipe accepts PIPE_BUF bytes at once and doesn't mix them with other processes'.
    size_t size = std::min(rest.size(), size_t{PIPE_BUF});
    if (size < rest.size() && rest.substr(0, size).rfind('\n') != std::string_view::npos) {
      size = rest.substr(0, size).rfind('\n') + 1;
    }
    const ssize_t written = ::write(target.descriptor, rest.data(), size);
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) break;
    if (written < 0) {
      target.is_gone = true;
      done = target.waiting.size();
      break;
    }
    done += static_cast<size_t>(written);
    rest.remove_prefix(static_cast<size_t>(written));
  }
  target.waiting.erase(0, done);
}

}  // namespace levin
