#include <levin/datamodules/readers/libsvm_words.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/number_in.h>

namespace levin::readers {
namespace {

/// Returns false if the text isn't a finite number that a float32 can hold.
bool parse_float32(std::string_view text, double& value) {
  return parse_number(text, value) && std::abs(value) <= std::numeric_limits<float>::max();
}

}  // namespace

std::string_view LibsvmWords::token(std::string_view& line) {
  const size_t start = std::min(line.find_first_not_of(" \t"), line.size());
  const size_t end = std::min(line.find_first_of(" \t", start), line.size());
  const auto word = line.substr(start, end - start);
  line.remove_prefix(end);
  return word;
}

int64_t LibsvmWords::highest() const {
  const int64_t features = rules_.num_features > 0 ? rules_.num_features : rules_.most_features;
  // As long as the base isn't known, it may be 1.
  return features - 1 + (rules_.zero_based.value_or(false) ? 0 : 1);
}

double LibsvmWords::label(std::string_view word, int64_t line) const {
  double value = 0.0;
  if (parse_float32(word, value)) return value;
  const char* hint =
      "the first word of a line must be a finite number that a float32 can hold. Write classes as "
      "numbers.";
  if (word.find(',') != word.npos) {
    hint =
        "a line must have a single label, but this looks like several (multi-label data), which "
        "aren't read. Write a file for each label.";
  } else if (word.find(':') != word.npos) {
    hint =
        "the first word of a line must be its label, and this looks like a feature. Write a label, "
        "such as 0, at the front of lines that have none.";
  }
  throw DataError::bad_value("the target", in_quotes(word), place(line), hint);
}

int64_t LibsvmWords::qid(std::string_view word, int64_t line) const {
  const auto digits = word.substr(std::min(word.find(':') + 1, word.size()));
  if (const auto number = number_in<int64_t>(digits)) return *number;
  fail(word, line, "; the number of a query must be a whole number, such as qid:3");
}

double LibsvmWords::split(std::string_view word, int64_t line, int64_t& index) const {
  const size_t colon = std::min(word.find(':'), word.size());
  const auto end = std::from_chars(word.data(), word.data() + colon, index);
  const bool is_huge = end.ec == std::errc::result_out_of_range && word.front() != '-';
  double value = 0.0;
  if (colon == word.size() || (end.ec != std::errc() && !is_huge) ||
      end.ptr != word.data() + colon || !parse_float32(word.substr(colon + 1), value)) {
    if (word.starts_with("qid:")) {
      fail(word, line, "; the number of a query may stand only once, right behind the label");
    }
    fail(word, line,
         "; a feature must be index:value, such as 3:0.5, with a finite value that a float32 can "
         "hold");
  }
  if (is_huge || index > highest()) fail_above(word, line);
  if (index < base()) fail_below(word, line);
  index -= base();
  return value;
}

int64_t LibsvmWords::width(int64_t highest) const {
  if (rules_.num_features > 0) return rules_.num_features;
  if (highest >= 0) return highest + 1;
  throw DataError(rules_.name +
                  ": no row has a feature, so the number of features isn't known; set "
                  "num_features");
}

DataError LibsvmWords::no_rows() const {
  return DataError(rules_.name + " has no rows; add at least one, such as \"1 3:0.5 7:2\"");
}

std::string LibsvmWords::place(int64_t line) const {
  return rules_.name + ", line " + std::to_string(line);
}

void LibsvmWords::fail(std::string_view word, int64_t line, const std::string& problem) const {
  throw DataError(place(line) + ": found " + in_quotes(word) + problem);
}

void LibsvmWords::fail_below(std::string_view word, int64_t line) const {
  if (!rules_.zero_based) fail(word, line, "; an index must be at least 0. Correct the index.");
  fail(word, line,
       *rules_.zero_based
           ? "; an index must be at least 0, because zero_based is true"
           : "; an index must be at least 1. If the file numbers features from 0, set "
             "zero_based = true.");
}

void LibsvmWords::fail_above(std::string_view word, int64_t line) const {
  const int64_t declared = rules_.num_features;
  const std::string most = std::to_string(highest());
  fail(word, line,
       declared > 0
           ? ", but rows have " + counted(declared, "feature") + ", so an index is at most " +
                 most + "; set num_features to the number of features in all files"
           : ", but rows have at most " + counted(rules_.most_features, "feature") +
                 ", so an index is at most " + most + "; correct the index");
}

void LibsvmWords::fail_order(std::string_view word, int64_t line, int64_t index,
                             int64_t before) const {
  const std::string order =
      index <= before ? " after index " + std::to_string(before + base()) : " before a lower index";
  fail(word, line, order + "; indices must rise along a line. " + rules_.order_remedy);
}

}  // namespace levin::readers
