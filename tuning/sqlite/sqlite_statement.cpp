#include <levin/tuning/sqlite/sqlite_statement.h>

#include <sqlite3.h>

#include <levin/framework/core/error.h>

namespace levin {

void SqliteDatabase::Closer::operator()(sqlite3* handle) const noexcept { sqlite3_close(handle); }

SqliteDatabase::SqliteDatabase(const std::filesystem::path& path, int flags, const char* what)
    : path_(path), what_(what) {
  sqlite3* handle = nullptr;
  const int status = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  handle_.reset(handle);
  if (status != SQLITE_OK) fail(what_);
  sqlite3_busy_timeout(handle, 60'000);  // milliseconds, while Optuna writes
}

SqliteDatabase SqliteDatabase::open_to_read(const std::filesystem::path& path) {
  return {path, SQLITE_OPEN_READONLY, "read"};
}

SqliteDatabase SqliteDatabase::create(const std::filesystem::path& path) {
  return {path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "write"};
}

void SqliteDatabase::fail(const char* what) const {
  const char* const message = handle_ ? sqlite3_errmsg(handle_.get()) : "there is no memory";
  throw CheckpointError::io(what == nullptr ? what_ : what, path_.string(), message);
}

void SqliteDatabase::run(const std::string& statements) {
  if (sqlite3_exec(handle_.get(), statements.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    fail(what_);
  }
}

void SqliteStatement::Finalizer::operator()(sqlite3_stmt* statement) const noexcept {
  sqlite3_finalize(statement);
}

SqliteStatement::SqliteStatement(const SqliteDatabase& database, std::string_view text)
    : database_(database) {
  sqlite3_stmt* statement = nullptr;
  const int status = sqlite3_prepare_v2(database.handle(), text.data(),
                                        static_cast<int>(text.size()), &statement, nullptr);
  statement_.reset(statement);
  check(status);
}

void SqliteStatement::check(int status) const {
  if (status != SQLITE_OK) database_.fail(nullptr);
}

SqliteStatement& SqliteStatement::set(int64_t value) {
  check(sqlite3_bind_int64(statement_.get(), next_parameter_++, value));
  return *this;
}

SqliteStatement& SqliteStatement::set(double value) {
  check(sqlite3_bind_double(statement_.get(), next_parameter_++, value));
  return *this;
}

SqliteStatement& SqliteStatement::set(std::string_view value) {
  check(sqlite3_bind_text(statement_.get(), next_parameter_++, value.data(),
                          static_cast<int>(value.size()), SQLITE_TRANSIENT));
  return *this;
}

SqliteStatement& SqliteStatement::set_null() {
  check(sqlite3_bind_null(statement_.get(), next_parameter_++));
  return *this;
}

void SqliteStatement::write() {
  if (next()) check(SQLITE_MISUSE);
  check(sqlite3_reset(statement_.get()));
  next_parameter_ = 1;
}

bool SqliteStatement::next() {
  const int status = sqlite3_step(statement_.get());
  if (status == SQLITE_ROW) return true;
  if (status != SQLITE_DONE) check(status);
  return false;
}

bool SqliteStatement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

int64_t SqliteStatement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double SqliteStatement::real(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}

std::string SqliteStatement::text(int column) const {
  const auto* const text = sqlite3_column_text(statement_.get(), column);
  const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column));
  return text == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(text), size);
}

}  // namespace levin
