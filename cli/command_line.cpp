#include <levin/cli/command_line.h>

#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <levin/cli/arguments.h>
#include <levin/cli/convert_files.h>
#include <levin/cli/exit_status.h>
#include <levin/cli/help.h>
#include <levin/cli/plot.h>
#include <levin/cli/run_job.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/version.h>

namespace levin {
namespace {

int print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return std::fflush(stdout) == 0 ? kDone : kFailed;
}

int report(std::string_view message, int status) {
  std::fflush(stdout);
  std::fputs(fmt::format("error: {}\n", message).c_str(), stderr);
  return status;
}

/// Cuts off the C++ stack that LibTorch appends to its messages.
std::string_view without_backtrace(std::string_view message) {
  message = message.substr(0, message.find("\nException raised from"));
  while (message.ends_with('\n')) message.remove_suffix(1);
  return message;
}

std::string only_word(const Arguments& arguments, std::string_view what) {
  if (arguments.words.size() == 1) return arguments.words.front();
  throw ConfigError(fmt::format("{0} {1} takes one {2}, but got {3}; see {0} {1} --help",
                                arguments.program, arguments.command, what,
                                arguments.words.size()));
}

void refuse_misplaced(const Arguments& arguments) {
  const auto refuse = [&](bool given, std::string_view option, std::string_view command) {
    if (!given || arguments.command == command) return;
    throw ConfigError(
        fmt::format("{} is an option of `{} {}`", option, arguments.program, command));
  };
  if (arguments.command != "convert") refuse(!arguments.output.empty(), "--output", "predict");
  refuse(!arguments.metrics.empty(), "--metric", "plot");
}

int dispatch(const Arguments& arguments, const Registry& registry) {
  const std::string& command = arguments.command;
  if (arguments.version) return print(fmt::format("levin {}\n", kVersion));
  if (!arguments.help_about.empty()) return print(settings_help(registry, arguments.help_about));
  if (command.empty() && arguments.help) return print(general_help(arguments.program));
  if (command.empty()) {
    std::fputs(general_help(arguments.program).c_str(), stderr);
    return kWrongUsage;
  }
  const std::string help = command_help(arguments.program, command);
  if (arguments.help) return print(help);
  refuse_misplaced(arguments);
  if (command == "list") {
    return print(class_list(registry, arguments.words.empty() ? "" : only_word(arguments, "kind")));
  }
  if (command == "help" && arguments.words.empty()) return print(general_help(arguments.program));
  if (command == "help") return print(settings_help(registry, only_word(arguments, "class")));
  if (command == "plot") return print(plot_run(only_word(arguments, "run"), arguments.metrics));
  if (command == "convert") return convert_files(arguments);
  return run_job(arguments, registry);
}

}  // namespace

int run_command_line(int argc, const char* const* argv, const Registry& registry) {
  try {
    return dispatch(parse_arguments(argc, argv), registry);
  } catch (const ConfigError& error) {
    return report(error.what(), kWrongUsage);
  } catch (const c10::Error& error) {
    return report(without_backtrace(error.what_without_backtrace()), kFailed);
  } catch (const std::exception& error) {
    return report(without_backtrace(error.what()), kFailed);
  }
}

}  // namespace levin
