"""The image files of the data sets that lie in folders, by name of the data set."""

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.data.folders import image_folder, imagenet
from rdrop_exp.data.listing import Listing
from rdrop_exp.data.table import image_csv

READERS = {"imagenet": imagenet, "image_folder": image_folder, "image_csv": image_csv}


def list_files(options: Dataset) -> Listing:
    """The files of this data set; `OptionError` if folders, table or files are missing or contradict each other."""
    return READERS[options.name](options)
