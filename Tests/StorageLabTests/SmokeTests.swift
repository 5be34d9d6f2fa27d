import Testing

@testable import StorageLab
