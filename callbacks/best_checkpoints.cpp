#include <levin/callbacks/best_checkpoints.h>

#include <algorithm>
#include <utility>

namespace levin {

BestCheckpoints::Ranking BestCheckpoints::ranking_by(std::string_view monitor,
                                                     std::string_view mode) {
  if (monitor.empty()) return Ranking::latest;
  return mode == "max" ? Ranking::largest : Ranking::smallest;
}

bool BestCheckpoints::is_full() const { return most_ >= 0 && std::ssize(all_) >= most_; }

bool BestCheckpoints::is_better(const SavedCheckpoint& a, const SavedCheckpoint& b) const {
  return ranking_ == Ranking::largest ? a.score > b.score : a.score < b.score;
}

std::vector<SavedCheckpoint>::const_iterator BestCheckpoints::worst() const {
  if (ranking_ == Ranking::latest) return all_.begin();
  return std::max_element(all_.begin(), all_.end(),
                          [this](const auto& a, const auto& b) { return is_better(a, b); });
}

bool BestCheckpoints::admits(double score) const {
  if (most_ == 0) return false;
  return !is_full() || ranking_ == Ranking::latest || is_better({{}, score}, *worst());
}

std::vector<std::filesystem::path> BestCheckpoints::make_room() {
  std::vector<std::filesystem::path> dropped;
  while (!all_.empty() && is_full()) {
    dropped.push_back(worst()->path);
    all_.erase(worst());
  }
  find_best();
  return dropped;
}

void BestCheckpoints::add(const std::filesystem::path& path, double score) {
  std::erase_if(all_, [&](const auto& saved) { return saved.path == path; });
  all_.push_back({path, score});
  find_best();
}

void BestCheckpoints::set_paths(const std::vector<std::filesystem::path>& paths) {
  for (size_t i = 0; i < all_.size(); ++i) all_[i].path = paths.at(i);
  std::erase_if(all_, [](const auto& saved) { return saved.path.empty(); });
  find_best();
}

void BestCheckpoints::clear() {
  all_.clear();
  find_best();
}

Value::Array BestCheckpoints::to_values() const {
  Value::Array values;
  for (const auto& saved : all_) {
    Value item;
    item["path"] = saved.path.string();
    item["score"] = saved.score;
    values.push_back(std::move(item));
  }
  return values;
}

void BestCheckpoints::load_values(const Value::Array& values) {
  all_.clear();
  for (const auto& item : values) {
    all_.push_back({item.at("path").as_string(), item.at("score").as_double()});
  }
  find_best();
}

void BestCheckpoints::find_best() {
  best_path_.clear();
  best_score_.reset();
  if (all_.empty()) return;
  if (ranking_ == Ranking::latest) {
    best_path_ = all_.back().path;
    return;
  }
  const auto best = std::min_element(
      all_.begin(), all_.end(), [this](const auto& a, const auto& b) { return is_better(a, b); });
  best_path_ = best->path;
  best_score_ = best->score;
}

}  // namespace levin
