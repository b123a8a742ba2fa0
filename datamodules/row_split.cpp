#include <levin/datamodules/row_split.h>

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/error.h>

namespace levin {

Value to_value(const RowSplit& split) {
  if (split.file.empty()) return {};
  return Value::Object{
      {"x", split.file},           {"val_split", split.val_split}, {"test_split", split.test_split},
      {"shuffle", split.shuffle},  {"stratify", split.stratify},   {"seed", split.seed},
      {"stream", split.draws_rows}};
}

Split split_rows(int64_t rows, const RowSplit& split, std::span<const int64_t> labels) {
  const auto sizes = split_sizes(rows, split.val_split, split.test_split);
  auto order = shuffled_rows(rows, split.seed);
  if (!split.shuffle) std::sort(order.begin(), order.end());
  return split.stratify ? split_by_class(order, sizes, labels) : split_in_order(order, sizes);
}

void require_no_empty_set(int64_t rows, const RowSplit& split, Stage stage) {
  const auto sizes = split_sizes(rows, split.val_split, split.test_split);
  const auto require = [&](Stage needs, const char* option, double share, const char* set,
                           int64_t size) {
    if (stage != Stage::fit && stage != needs) return;
    if (share <= 0.0 || size > 0) return;
    throw DataError(
        fmt::format("{} = {} of {} rows comes to 0 rows after rounding, so the {} set would be "
                    "empty; raise it, or set it to 0",
                    option, share, rows, set));
  };
  require(Stage::validate, "val_split", split.val_split, "validation", sizes.val);
  require(Stage::test, "test_split", split.test_split, "test", sizes.test);
  if (stage != Stage::fit || sizes.train > 0) return;
  throw DataError(
      fmt::format("val_split = {} and test_split = {} take all {} rows, so the training set would "
                  "be empty; lower one of them",
                  split.val_split, split.test_split, rows));
}

std::string note_on_split(const Value& trained, const RowSplit& here, Stage stage) {
  const Value now = to_value(here);
  if (!trained.is_object() || !now.is_object() || !trained.contains("x")) return {};
  if (trained.at("x") != now.at("x")) return {};
  std::vector<std::string> changes;
  for (const auto& [name, value] : now.as_object()) {
    if (!trained.contains(name) || trained.at(name) == value) continue;
    changes.push_back(
        fmt::format("{} = {} ({})", name, value.to_json(), trained.at(name).to_json()));
  }
  if (changes.empty()) return {};
  return fmt::format(
      "the model was trained on rows of {} that were divided with other settings, which are in "
      "brackets: {}. So it may have been trained on some of the rows that follow; set the same, or "
      "give rows of their own as x_{}",
      here.file, fmt::join(changes, ", "), stage == Stage::test ? "test" : "val");
}

}  // namespace levin
