#include <levin/cli/convert_files.h>

#include <cstdio>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/command.h>
#include <levin/cli/exit_status.h>
#include <levin/cli/help.h>
#include <levin/cli/output.h>
#include <levin/datamodules/convert.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/live_lines.h>
#include <levin/framework/loops/stop_signal.h>

namespace levin {
namespace {

/// Thrown by the progress callback, so that `convert` removes what it has written and ends.
struct Interrupted {};

/// Shows the progress on a line of stderr, at most twice a second, if stderr is a terminal.
class ProgressLine {
 public:
  void operator()(int64_t done, int64_t total) {
    if (StopSignal::received()) throw Interrupted();
    const double now = files::monotonic_seconds();
    if (!line_->is_live() || ((done < total || total == 0) && now < next_)) return;
    next_ = now + 0.5;
    line_->write(total == 0 ? std::string("finding the lines of text")
                            : fmt::format("converting: {} of {} rows", done, total));
    if (done == total && total > 0) line_->end();
  }

 private:
  // Shared by copies, of which std::function makes some.
  std::shared_ptr<LiveLines> line_ = std::make_shared<LiveLines>(stderr, terminal_of(stderr));
  double next_ = 0.0;
};

}  // namespace

int convert_files(const Arguments& arguments) {
  ConvertOptions options;
  const Fields fields = describe(options);
  set_options(fields, arguments);
  options.inputs = arguments.words;
  options.output = arguments.output;
  if (arguments.json) require_output();
  const StopSignal signal;
  try {
    const Converted written = convert(options, ProgressLine());
    for (const auto& note : written.notes) diagnostics::print(fmt::format("note: {}\n", note));
    diagnostics::print(fmt::format("{} in {}, {:.1f} MB, in {}\n", counted(written.rows, "row"),
                                   counted(written.shards, "shard"),
                                   static_cast<double>(written.bytes) / 1e6, options.output));
    if (!arguments.json) return kDone;
    Value result;
    result["rows"] = written.rows;
    result["shards"] = written.shards;
    result["bytes"] = static_cast<int64_t>(written.bytes);
    result["output"] = options.output;
    write_output(result.to_json() + "\n");
    return kDone;
  } catch (const Interrupted&) {
    diagnostics::print("interrupted: nothing was written\n");
    return kInterrupted;
  }
}

std::string convert_options_help() {
  ConvertOptions options;
  return "\noptions, each with a value; --targets may come several times:\n"
         "  -o, --output FOLDER  the folder to be made, with shard-00000.lvb and so on\n" +
         settings_table(describe(options)) +
         "\nexit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted; but for 0, nothing is "
         "written\n";
}

}  // namespace levin
