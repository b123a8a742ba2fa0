#pragma once

namespace levin {

/// While an object of this class exists, LibTorch's operations that the calling thread starts run
/// on this thread alone. Other threads aren't affected. Must be destroyed on the thread that made
/// it.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;      // threads of the calling thread
  int mkl_before_;  // those of its matrix products, if it had a number of its own; otherwise 0
};

}  // namespace levin
