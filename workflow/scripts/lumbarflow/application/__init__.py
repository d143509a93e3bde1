"""The trained models at work: new scans segmented, measured, flagged and shown."""
