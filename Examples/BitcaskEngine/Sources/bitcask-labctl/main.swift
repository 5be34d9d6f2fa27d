import BitcaskEngine
import LabctlKit

Labctl.main(adding: [BitcaskEngine.registryEntry])
