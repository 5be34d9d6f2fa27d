import CAllocationCounter
import LabctlKit
import StorageLab

Labctl.main(
  counting: allocation_counter_works() == 0
    ? nil
    : AllocationCounter(
      process: { allocation_counter_process() }, thread: { allocation_counter_thread() }))
