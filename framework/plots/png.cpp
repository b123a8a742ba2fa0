#include <levin/framework/plots/png.h>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

/// Removes a file at the end of a scope.
class TemporaryDrawing {
 public:
  explicit TemporaryDrawing(std::filesystem::path path) : path_(std::move(path)) {}
  ~TemporaryDrawing() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryDrawing(const TemporaryDrawing&) = delete;
  TemporaryDrawing& operator=(const TemporaryDrawing&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Runs rsvg-convert and returns its exit status, or -1 if a signal ended it.
int convert_drawing(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::array<std::string, 6> words = {"rsvg-convert", "--zoom=2",  "--format=png",
                                      "--output",     to.string(), from.string()};
  std::array<char*, 7> arguments{};
  for (size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  pid_t child = -1;
  const int error =
      ::posix_spawnp(&child, words[0].c_str(), nullptr, nullptr, arguments.data(), environ);
  if (error != 0) {
    throw ConfigError::conflict(
        "a PNG is drawn by rsvg-convert, which isn't in PATH",
        "install it (the package librsvg2-bin of Debian and Ubuntu), or name an .svg");
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

void write_png(const std::filesystem::path& path, std::string_view svg) {
  const std::filesystem::path absolute = std::filesystem::absolute(path);
  const std::string unique = fmt::format("{}.{}", absolute.string(), ::getpid());
  const TemporaryDrawing drawing(unique + ".svg");
  const TemporaryDrawing image(unique + ".png");
  files::write_atomically(drawing.path(), svg);
  const int status = convert_drawing(drawing.path(), image.path());
  if (status == 127) {  // what posix_spawnp gives on systems where it can't tell
    throw ConfigError::conflict("rsvg-convert can't be started", "name an .svg instead of a PNG");
  }
  if (status != 0) {
    throw CheckpointError::io("write", path.string(),
                              fmt::format("rsvg-convert ended with status {}", status));
  }
  files::move_into_place(image.path(), absolute);
}

}  // namespace levin
