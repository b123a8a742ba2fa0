#include <levin/framework/tensor/torch_error.h>

#include <cstdlib>
#include <string_view>

namespace levin {
namespace {

/// Cuts off the C++ stack at the end of a message of LibTorch.
std::string_view without_cpp_stack(std::string_view message) {
  message = message.substr(0, message.find("\nException raised from"));
  while (message.ends_with('\n') || message.ends_with(' ')) message.remove_suffix(1);
  return message;
}

/// Puts a space in the place of each line break and of the blanks around it.
std::string joined_lines(std::string_view text) {
  std::string line;
  bool begins = false;  // a line other than the first
  for (const char c : text) {
    if (c == '\n') {
      while (line.ends_with(' ')) line.pop_back();
      begins = true;
    } else if (!begins || c != ' ') {
      if (begins) line += ' ';
      begins = false;
      line += c;
    }
  }
  return line;
}

}  // namespace

bool shows_cpp_stacks() {
  const char* wish = std::getenv("TORCH_SHOW_CPP_STACKTRACES");
  return wish != nullptr && *wish != '\0' && std::string_view(wish) != "0";
}

std::string plain_message(const std::exception& error) {
  if (shows_cpp_stacks()) return error.what();
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  if (torch_error == nullptr) return std::string(without_cpp_stack(error.what()));
  return joined_lines(without_cpp_stack(torch_error->what_without_backtrace()));
}

void say_where(c10::Error& error, const std::string& place) {
  if (!shows_cpp_stacks()) error = c10::Error(plain_message(error), nullptr, error.caller());
  error.add_context(place);
}

}  // namespace levin
