#include <levin/tuning/sqlite/optuna_database.h>

#include <cmath>
#include <limits>
#include <map>
#include <system_error>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/tuning/space/python_json.h>
#include <levin/tuning/sqlite/sqlite_statement.h>

namespace levin {
namespace {

constexpr int64_t kSchemaVersion = 12;
constexpr const char* kRevision = "v3.2.0.a";

constexpr const char* kSchema = R"(
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,
  CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
CREATE TABLE version_info (version_info_id INTEGER NOT NULL PRIMARY KEY, schema_version INTEGER,
  library_version VARCHAR(256), CHECK (version_info_id = 1));
CREATE TABLE studies (study_id INTEGER NOT NULL PRIMARY KEY, study_name VARCHAR(512) NOT NULL);
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE TABLE study_directions (study_direction_id INTEGER NOT NULL PRIMARY KEY,
  direction VARCHAR(8) NOT NULL, study_id INTEGER NOT NULL REFERENCES studies (study_id),
  objective INTEGER NOT NULL, UNIQUE (study_id, objective));
CREATE TABLE study_user_attributes (study_user_attribute_id INTEGER NOT NULL PRIMARY KEY,
  study_id INTEGER REFERENCES studies (study_id), "key" VARCHAR(512), value_json TEXT,
  UNIQUE (study_id, "key"));
CREATE TABLE study_system_attributes (study_system_attribute_id INTEGER NOT NULL PRIMARY KEY,
  study_id INTEGER REFERENCES studies (study_id), "key" VARCHAR(512), value_json TEXT,
  UNIQUE (study_id, "key"));
CREATE TABLE trials (trial_id INTEGER NOT NULL PRIMARY KEY, number INTEGER,
  study_id INTEGER REFERENCES studies (study_id), state VARCHAR(8) NOT NULL,
  datetime_start DATETIME, datetime_complete DATETIME);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE TABLE trial_user_attributes (trial_user_attribute_id INTEGER NOT NULL PRIMARY KEY,
  trial_id INTEGER REFERENCES trials (trial_id), "key" VARCHAR(512), value_json TEXT,
  UNIQUE (trial_id, "key"));
CREATE TABLE trial_system_attributes (trial_system_attribute_id INTEGER NOT NULL PRIMARY KEY,
  trial_id INTEGER REFERENCES trials (trial_id), "key" VARCHAR(512), value_json TEXT,
  UNIQUE (trial_id, "key"));
CREATE TABLE trial_params (param_id INTEGER NOT NULL PRIMARY KEY,
  trial_id INTEGER REFERENCES trials (trial_id), param_name VARCHAR(512), param_value FLOAT,
  distribution_json TEXT, UNIQUE (trial_id, param_name));
CREATE TABLE trial_values (trial_value_id INTEGER NOT NULL PRIMARY KEY,
  trial_id INTEGER NOT NULL REFERENCES trials (trial_id), objective INTEGER NOT NULL, value FLOAT,
  value_type VARCHAR(7) NOT NULL, UNIQUE (trial_id, objective));
CREATE TABLE trial_intermediate_values (trial_intermediate_value_id INTEGER NOT NULL PRIMARY KEY,
  trial_id INTEGER NOT NULL REFERENCES trials (trial_id), step INTEGER NOT NULL,
  intermediate_value FLOAT, intermediate_value_type VARCHAR(7) NOT NULL, UNIQUE (trial_id, step));
CREATE TABLE trial_heartbeats (trial_heartbeat_id INTEGER NOT NULL PRIMARY KEY,
  trial_id INTEGER NOT NULL UNIQUE REFERENCES trials (trial_id), heartbeat DATETIME NOT NULL);
)";

constexpr double kInfinite = std::numeric_limits<double>::infinity();

/// Sets a number and the name of its kind.
SqliteStatement& set_number(SqliteStatement& statement, double value) {
  if (std::isfinite(value)) return statement.set(value).set(std::string_view("FINITE"));
  statement.set_null();
  if (std::isnan(value)) return statement.set(std::string_view("NAN"));
  return statement.set(std::string_view(value > 0.0 ? "INF_POS" : "INF_NEG"));
}

double number_of(const SqliteStatement& statement, int column) {
  const std::string kind = statement.text(column + 1);
  if (kind == "INF_POS") return kInfinite;
  if (kind == "INF_NEG") return -kInfinite;
  if (kind == "NAN" || statement.is_null(column)) return std::numeric_limits<double>::quiet_NaN();
  return statement.real(column);
}

/// "2026-09-01 12:00:00.000000", as the database has times.
void set_time(SqliteStatement& statement, const std::optional<Microseconds>& moment) {
  if (!moment) {
    statement.set_null();
    return;
  }
  std::string text = to_iso_time(*moment).substr(0, 26);
  text[10] = ' ';
  statement.set(std::string_view(text));
}

std::optional<Microseconds> time_of(const SqliteStatement& statement, int column) {
  if (statement.is_null(column)) return std::nullopt;
  std::string text = statement.text(column);
  if (text.size() > 10) text[10] = 'T';
  return from_iso_time(text);
}

/// Writes studies; ids count from 1.
class OptunaDatabaseWriter {
 public:
  explicit OptunaDatabaseWriter(SqliteDatabase& database) : database_(database) {
    database_.run(std::string("PRAGMA synchronous = OFF; BEGIN;") + kSchema);
    insert("alembic_version (version_num) VALUES (?)").set(std::string_view(kRevision)).write();
    insert("version_info VALUES (1, ?, '5.0.0')").set(kSchemaVersion).write();
  }

  void add(const Study& study) {
    ++study_;
    insert("studies VALUES (?, ?)").set(study_).set(std::string_view(study.name)).write();
    auto directions = insert("study_directions (direction, study_id, objective) VALUES (?, ?, ?)");
    for (size_t i = 0; i < study.directions.size(); ++i) {
      directions.set(name_of(study.directions[i])).set(study_).set(static_cast<int64_t>(i)).write();
    }
    add_attributes("study_user_attributes (study_id", study_, study.user_attributes);
    add_attributes("study_system_attributes (study_id", study_, study.system_attributes);
    for (const Trial& trial : study.trials) add(trial);
  }

  void finish() { database_.run("COMMIT;"); }

 private:
  SqliteStatement insert(const std::string& rest) {
    return SqliteStatement(database_, "INSERT INTO " + rest);
  }

  void add_attributes(const std::string& table, int64_t owner, const Value::Object& attributes) {
    if (attributes.empty()) return;
    auto row = insert(table + ", \"key\", value_json) VALUES (?, ?, ?)");
    for (const auto& [name, value] : attributes) {
      row.set(owner).set(std::string_view(name)).set(std::string_view(to_python_json(value)));
      row.write();
    }
  }

  void add(const Trial& trial) {
    ++trial_;
    const TrialState state = trial.state == TrialState::running ? TrialState::waiting : trial.state;
    auto row = insert("trials VALUES (?, ?, ?, ?, ?, ?)");
    row.set(trial_).set(trial.number).set(study_).set(name_of(state));
    set_time(row, trial.started);
    set_time(row, trial.completed);
    row.write();
    auto parameters = insert(
        "trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)");
    for (const auto& [name, value] : trial.parameters) {
      parameters.set(trial_).set(std::string_view(name)).set(value);
      parameters.set(std::string_view(trial.distributions.at(name).to_json())).write();
    }
    auto values =
        insert("trial_values (trial_id, objective, value, value_type) VALUES (?, ?, ?, ?)");
    for (size_t i = 0; i < trial.values.size(); ++i) {
      values.set(trial_).set(static_cast<int64_t>(i));
      set_number(values, trial.values[i]).write();
    }
    auto steps = insert(
        "trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
        "VALUES (?, ?, ?, ?)");
    for (const auto& [step, value] : trial.intermediate_values) {
      steps.set(trial_).set(step);
      set_number(steps, value).write();
    }
    add_attributes("trial_user_attributes (trial_id", trial_, trial.user_attributes);
    add_attributes("trial_system_attributes (trial_id", trial_, trial.system_attributes);
  }

  SqliteDatabase& database_;
  int64_t study_ = 0;
  int64_t trial_ = 0;
};

template <class Enum>
Enum enum_from(const std::string& name, std::initializer_list<Enum> all) {
  for (const Enum each : all) {
    if (name_of(each) == name) return each;
  }
  throw DataError(fmt::format("'{}' is neither a state nor a direction", shortened(name, 40)));
}

/// Reads studies.
class OptunaDatabaseReader {
 public:
  explicit OptunaDatabaseReader(const SqliteDatabase& database) : database_(database) {}

  std::vector<Study> read() {
    check_version();
    auto rows = select("study_id, study_name FROM studies ORDER BY study_id");
    while (rows.next()) {
      study_of_[rows.integer(0)] = studies_.size();
      studies_.emplace_back();
      studies_.back().id = static_cast<int64_t>(studies_.size()) - 1;
      studies_.back().name = rows.text(1);
    }
    auto directions =
        select("study_id, direction FROM study_directions ORDER BY study_id, objective");
    while (directions.next()) {
      study(directions.integer(0))
          .directions.push_back(enum_from(
              directions.text(1),
              {StudyDirection::not_set, StudyDirection::minimize, StudyDirection::maximize}));
    }
    read_attributes("study_id", "study_user_attributes",
                    [&](int64_t id) { return &study(id).user_attributes; });
    read_attributes("study_id", "study_system_attributes",
                    [&](int64_t id) { return &study(id).system_attributes; });
    read_trials();
    return std::move(studies_);
  }

 private:
  SqliteStatement select(const std::string& rest) const {
    return SqliteStatement(database_, "SELECT " + rest);
  }

  void check_version() const {
    auto rows = select("schema_version FROM version_info");
    if (rows.next() && rows.integer(0) == kSchemaVersion) return;
    throw DataError(fmt::format(
        "the database isn't of schema {}, which Optuna 3.2 and newer have; run `optuna storage "
        "upgrade --storage sqlite:///{}`",
        kSchemaVersion, database_.path().string()));
  }

  Study& study(int64_t id) { return studies_.at(study_of_.at(id)); }
  Trial& trial(int64_t id) {
    const auto& [study, number] = trial_of_.at(id);
    return studies_[study].trials[number];
  }

  template <class Find>
  void read_attributes(const std::string& owner, const std::string& table, const Find& find) {
    auto rows = select(owner + ", \"key\", value_json FROM " + table);
    while (rows.next()) (*find(rows.integer(0)))[rows.text(1)] = from_python_json(rows.text(2));
  }

  void read_trials() {
    auto rows = select(
        "trial_id, study_id, state, datetime_start, datetime_complete FROM trials "
        "ORDER BY study_id, number");
    while (rows.next()) {
      const size_t place = study_of_.at(rows.integer(1));
      Study& owner = studies_[place];
      Trial read;
      read.number = static_cast<int64_t>(owner.trials.size());
      read.state =
          enum_from(rows.text(2), {TrialState::running, TrialState::complete, TrialState::pruned,
                                   TrialState::fail, TrialState::waiting});
      if (read.state == TrialState::running) read.state = TrialState::waiting;
      read.started = time_of(rows, 3);
      read.completed = time_of(rows, 4);
      trial_of_[rows.integer(0)] = {place, owner.trials.size()};
      owner.trials.push_back(std::move(read));
    }
    auto parameters = select(
        "trial_id, param_name, param_value, distribution_json "
        "FROM trial_params");
    while (parameters.next()) {
      Trial& owner = trial(parameters.integer(0));
      const std::string name = parameters.text(1);
      owner.parameters[name] = parameters.real(2);
      owner.distributions.insert_or_assign(name, Distribution::from_json(parameters.text(3)));
    }
    auto values = select("trial_id, value, value_type FROM trial_values ORDER BY objective");
    while (values.next()) trial(values.integer(0)).values.push_back(number_of(values, 1));
    auto steps = select(
        "trial_id, step, intermediate_value, intermediate_value_type "
        "FROM trial_intermediate_values");
    while (steps.next()) {
      trial(steps.integer(0)).intermediate_values[steps.integer(1)] = number_of(steps, 2);
    }
    read_attributes("trial_id", "trial_user_attributes",
                    [&](int64_t id) { return &trial(id).user_attributes; });
    read_attributes("trial_id", "trial_system_attributes",
                    [&](int64_t id) { return &trial(id).system_attributes; });
  }

  const SqliteDatabase& database_;
  std::vector<Study> studies_;
  std::map<int64_t, size_t> study_of_;
  std::map<int64_t, std::pair<size_t, size_t>> trial_of_;
};

}  // namespace

void write_optuna_database(const std::vector<const Study*>& studies,
                           const std::filesystem::path& path) {
  if (files::exists(path)) {
    throw CheckpointError::io("write", path.string(), "the file exists; choose another name");
  }
  auto unfinished = path;
  unfinished += ".tmp";
  std::error_code ignored;
  std::filesystem::remove(unfinished, ignored);
  try {
    {
      SqliteDatabase database = SqliteDatabase::create(unfinished);
      OptunaDatabaseWriter writer(database);
      for (const Study* study : studies) writer.add(*study);
      writer.finish();
    }
    std::filesystem::rename(unfinished, path);
  } catch (...) {
    std::filesystem::remove(unfinished, ignored);
    throw;
  }
}

std::vector<Study> read_optuna_database(const std::filesystem::path& path) {
  const SqliteDatabase database = SqliteDatabase::open_to_read(path);
  try {
    return OptunaDatabaseReader(database).read();
  } catch (const std::out_of_range&) {
    throw DataError::corrupt(path.string(), "a row belongs to a study or trial that isn't there");
  } catch (const Error& error) {
    throw DataError::corrupt(path.string(), error.what());
  }
}

}  // namespace levin
