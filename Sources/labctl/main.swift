import LabctlKit

Labctl.main()
