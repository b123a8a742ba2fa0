#include <levin/cli/export_model.h>

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/exit_status.h>
#include <levin/cli/find_checkpoint.h>
#include <levin/cli/output.h>
#include <levin/datamodules/standardization.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/checkpoint/torch_file.h>
#include <levin/framework/config/load_module.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/models/onnx_model.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kExportFormats = {"pt", "ckpt", "safetensors", "onnx"};

/// What is exported, and where to.
struct Export {
  std::string source;
  StateDict checkpoint;
  StateDict weights;
  std::optional<ModuleDescription> description;
  fs::path output;
};

std::string chosen_format(const Arguments& arguments) {
  if (arguments.output.empty()) {
    throw ConfigError::conflict("no output is named", "give --output FILE");
  }
  std::string format = fs::path(arguments.output).extension().string();
  if (!format.empty()) format.erase(0, 1);
  std::string_view kind = "ending of --output";
  for (const auto& [name, value] : arguments.settings) {
    if (name != "format") {
      throw ConfigError::unknown_name("option", "--" + name, {"--format", "--output", "--json"});
    }
    format = value;
    kind = "format";
  }
  for (const auto& known : kExportFormats) {
    if (known == format) return format;
  }
  throw ConfigError::unknown_name(kind, format, kExportFormats);
}

Export read_export(const Arguments& arguments) {
  if (arguments.words.size() != 1) {
    throw ConfigError(fmt::format("{} export takes one checkpoint, but got {}", arguments.program,
                                  arguments.words.size()));
  }
  Export result;
  result.source = find_checkpoint(expand_home(arguments.words.front(), "checkpoint"), {});
  result.output = arguments.output;
  std::error_code ignored;
  if (fs::equivalent(result.source, result.output, ignored)) {
    throw ConfigError::conflict("--output is the checkpoint itself", "name another file");
  }
  result.checkpoint = load_checkpoint(result.source);
  naming_checkpoint(result.source, [&] {
    result.description = module_description(result.checkpoint);
    result.weights.tensors = module_weights(result.checkpoint).tensors;
  });
  if (result.weights.tensors.empty()) {
    throw CheckpointError::io("export", result.source, "it holds no weights");
  }
  return result;
}

void write_lightning(const Export& given) {
  LightningCheckpoint checkpoint{.weights = given.weights};
  const Value& values = given.checkpoint.values;
  if (given.description && given.description->init_args.is_object()) {
    checkpoint.hyper_parameters = given.description->init_args;
  }
  if (is_whole_checkpoint(given.checkpoint)) {
    checkpoint.epoch = values.at("epoch").as_int();
    checkpoint.global_step = values.at("global_step").as_int();
  }
  save_lightning_file(given.output, checkpoint);
}

void write_onnx(const Export& given, const Registry& registry) {
  const auto module = load_module(registry, given.checkpoint, given.source);
  OnnxOptions options;
  options.class_names = given.description->class_names;
  if (given.description->input) options.row_shape = given.description->input->shape;
  if (const auto found = Standardization::load(fitted_state(given.checkpoint))) {
    options.mean = found->mean;
    options.deviation = found->deviation;
  }
  const std::string bytes = onnx_model(*module, options);
  files::write_atomically(given.output, bytes);
}

/// Says what the file doesn't know of the data that the model was trained on.
void note_statistics(const Export& given, const std::string& format) {
  const StateDict fitted = fitted_state(given.checkpoint);
  const bool is_table = fitted.values.contains("table");
  if (is_table) {
    diagnostics::print(
        "note: the model takes the numbers that TableDataModule makes of a table's columns; the "
        "file doesn't have these rules\n");
  }
  if (format == "onnx" || is_table || !Standardization::load(fitted)) return;
  diagnostics::print(
      "note: the model takes standardised features; the file has neither their means nor their "
      "deviations (ONNX files do)\n");
}

}  // namespace

int export_model(const Arguments& arguments, const Registry& registry) {
  const std::string format = chosen_format(arguments);
  if (arguments.json) require_output();
  const Export given = read_export(arguments);
  if (format == "pt") save_torch_file(given.output, given.weights);
  if (format == "ckpt") write_lightning(given);
  if (format == "safetensors") save_checkpoint(given.output, given.weights);
  if (format == "onnx") write_onnx(given, registry);
  note_statistics(given, format);
  const auto bytes = static_cast<int64_t>(fs::file_size(given.output));
  const std::string name =
      given.description ? shortened(given.description->class_path) : "a module";
  diagnostics::print(
      fmt::format("{} of {}, {}, in {}\n", counted(given.weights.tensors.size(), "tensor"), name,
                  counted(static_cast<size_t>(bytes), "byte"), given.output.string()));
  if (!arguments.json) return kDone;
  Value result;
  result["class"] = given.description ? Value(name) : Value();
  result["format"] = format;
  result["tensors"] = static_cast<int64_t>(given.weights.tensors.size());
  result["bytes"] = bytes;
  result["output"] = given.output.string();
  write_output(result.to_json() + "\n");
  return kDone;
}

const std::vector<std::string>& export_formats() { return kExportFormats; }

std::string export_options_help() {
  return R"(
options:
  -o, --output FILE    the file to be written
  --format FORMAT      by default, the ending of FILE:
                         pt           torch.load(FILE, weights_only=True), a state dict
                         ckpt         Lightning: Model.load_from_checkpoint(FILE)
                         safetensors  safetensors.torch.load_file(FILE)
                         onnx         onnxruntime.InferenceSession(FILE)
  --json               print what was written as a JSON object, the last line of stdout

CHECKPOINT may also be "last" or "best", or a file that torch.save or Lightning wrote.
)";
}

}  // namespace levin
