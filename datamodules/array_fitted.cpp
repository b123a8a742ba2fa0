#include <levin/datamodules/array.h>

#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/checkpoint/module_description.h>

// What ArrayDataModule has learned from its training data, and how it takes that over.

namespace levin {

StateDict ArrayDataModule::fitted_state() {
  load();
  StateDict state;
  if (fitted_.target_type == readers::TargetType::automatic) return state;  // there are no targets
  if (fitted_.standardization) fitted_.standardization->save(state);
  const bool are_classes = fitted_.target_type == readers::TargetType::classes;
  state.values["target_type"] = are_classes ? "class" : "value";
  const auto names = class_names();
  state.values["class_names"] = Value::Array(names.begin(), names.end());
  if (fitted_.layout && !fitted_.layout->names.empty()) {
    state.values["columns"] = to_value(*fitted_.layout);
  }
  Value split = options_.x.empty() ? trained_split_ : split_settings();
  if (!split.is_null()) state.values["split"] = std::move(split);
  return state;
}

bool ArrayDataModule::Fitted::operator==(const Fitted& other) const {
  return class_names == other.class_names && target_type == other.target_type &&
         readers::same_columns(layout, other.layout) && standardization == other.standardization;
}

void ArrayDataModule::load_fitted_state(const StateDict& state) {
  Fitted taken;
  if (state.values.contains("class_names")) taken.class_names = class_names_in(state);
  if (state.values.contains("target_type")) {
    taken.target_type = readers::parse_target_type(state.values.at("target_type").as_string());
  } else if (taken.class_names && !taken.class_names->empty()) {
    taken.target_type = readers::TargetType::classes;
  }
  if (state.values.contains("columns")) {
    taken.layout = readers::layout_from(state.values.at("columns"));
  }
  taken.standardization = Standardization::load(state);
  if (state.values.contains("target_type")) {
    require_standardized(taken.standardization, options_.standardize);
  }
  Value split = state.values.contains("split") ? state.values.at("split") : Value();
  if (split != trained_split_) split_is_noted_ = false;
  trained_split_ = std::move(split);
  const bool is_known = loaded_ && taken.target_type == fitted_.target_type && taken.class_names &&
                        *taken.class_names == class_names() &&
                        taken.standardization == fitted_.standardization &&
                        (!taken.layout || readers::same_columns(taken.layout, fitted_.layout));
  if (is_known || taken == taken_) return;
  taken_ = std::move(taken);
  reset();
}

Value ArrayDataModule::split_settings() const {
  const auto& o = options_;
  if (o.x.empty()) return {};
  return Value::Object{{"x", o.x},
                       {"val_split", val_share()},
                       {"test_split", test_share()},
                       {"shuffle", o.shuffle},
                       {"stratify", o.stratify},
                       {"seed", o.seed}};
}

/// Notes if rows that are validated or tested on may be rows that the model was trained on.
void ArrayDataModule::note_other_split(Stage stage) {
  const bool is_test = stage == Stage::test;
  if ((stage != Stage::validate && !is_test) || (is_test ? test_ : val_).x.defined()) return;
  if (std::exchange(split_is_noted_, true)) return;
  const Value& trained = trained_split_;
  const Value here = split_settings();
  if (!trained.is_object() || !here.is_object() || !trained.contains("x")) return;
  if (trained.at("x") != here.at("x")) return;
  std::vector<std::string> changes;
  for (const auto& [name, value] : here.as_object()) {
    if (!trained.contains(name) || trained.at(name) == value) continue;
    changes.push_back(
        fmt::format("{} = {} ({})", name, value.to_json(), trained.at(name).to_json()));
  }
  if (changes.empty()) return;
  const char* set = is_test ? "test" : "val";
  note(fmt::format(
      "the model was trained on rows of {} that were divided with other settings, which are in "
      "brackets: {}. So it may have been trained on some of the rows that follow; set the same, or "
      "give rows of their own as x_{}",
      options_.x, fmt::join(changes, ", "), set));
}

}  // namespace levin
