#include <levin/datamodules/array.h>

#include <levin/framework/checkpoint/module_description.h>

// What ArrayDataModule has learned from its training data, and how it takes that over.

namespace levin {

StateDict ArrayDataModule::fitted_state() {
  load();
  StateDict state;
  if (fitted_.target_type == readers::TargetType::automatic) return state;  // there are no targets
  const bool are_classes = fitted_.target_type == readers::TargetType::classes;
  state.values["target_type"] = are_classes ? "class" : "value";
  const auto names = class_names();
  state.values["class_names"] = Value::Array(names.begin(), names.end());
  if (fitted_.layout && !fitted_.layout->names.empty()) {
    state.values["columns"] = to_value(*fitted_.layout);
  }
  return state;
}

bool ArrayDataModule::Fitted::operator==(const Fitted& other) const {
  return class_names == other.class_names && target_type == other.target_type &&
         readers::same_columns(layout, other.layout);
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
  const bool is_known = loaded_ && taken.target_type == fitted_.target_type && taken.class_names &&
                        *taken.class_names == class_names() &&
                        (!taken.layout || readers::same_columns(taken.layout, fitted_.layout));
  if (is_known || taken == taken_) return;
  taken_ = std::move(taken);
  reset();
}

}  // namespace levin
