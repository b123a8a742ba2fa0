#include <levin/datamodules/array.h>

#include <utility>

#include <levin/framework/checkpoint/module_description.h>

// What ArrayDataModule has learned from its training data, and how it takes that over.

namespace levin {

StateDict ArrayDataModule::fitted_state() {
  load();
  StateDict state;
  if (fitted_.target_type == readers::TargetType::automatic) return state;  // there are no targets
  if (fitted_.standardization) fitted_.standardization->save(state);
  save_transforms(state);
  const bool are_classes = fitted_.target_type == readers::TargetType::classes;
  state.values["target_type"] = are_classes ? "class" : "value";
  const auto names = class_names();
  state.values["class_names"] = Value::Array(names.begin(), names.end());
  if (fitted_.layout && !fitted_.layout->names.empty()) {
    state.values["columns"] = to_value(*fitted_.layout);
  }
  Value split = options_.x.empty() ? trained_split_ : to_value(row_split());
  if (!split.is_null()) state.values["split"] = std::move(split);
  return state;
}

bool ArrayDataModule::Fitted::operator==(const Fitted& other) const {
  return class_names == other.class_names && target_type == other.target_type &&
         readers::same_columns(layout, other.layout) && standardization == other.standardization;
}

/// Arrays that were read as they would be without what was taken over stay where they are.
void ArrayDataModule::learn_anew() {
  const bool has_taken = !(taken_ == Fitted{});
  taken_ = {};
  trained_split_ = {};
  if (has_taken) return reset();
  if (loaded_) split();
}

void ArrayDataModule::load_fitted_state(const StateDict& state) {
  note_taken_over();
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
    load_transforms(state);
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

RowSplit ArrayDataModule::row_split() const {
  const auto& o = options_;
  return {.file = o.x,
          .val_split = val_share(),
          .test_split = test_share(),
          .shuffle = o.shuffle,
          .stratify = o.stratify,
          .seed = o.seed};
}

/// Notes if rows that are validated or tested on may be rows that the model was trained on.
void ArrayDataModule::note_other_split(Stage stage) {
  const bool is_test = stage == Stage::test;
  if ((stage != Stage::validate && !is_test) || (is_test ? test_ : val_).x.is_defined()) return;
  if (std::exchange(split_is_noted_, true)) return;
  auto text = note_on_split(trained_split_, row_split(), stage);
  if (!text.empty()) note(std::move(text));
}

}  // namespace levin
